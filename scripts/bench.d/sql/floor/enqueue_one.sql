insert into floor.queue (input) values ('{}');
