!> A model that says what it is told: steps from the first argument to 9, or to the second, after which it ends early. It sends
!! a and b, receives c and d, and writes restarts at the end of steps 2, 5 and 6.
program messages
   use mpi
   use cpl_halocline, only : cpl_init, cpl_domain, cpl_var, cpl_define, cpl_snd, cpl_rcv, cpl_restart, cpl_status, &
      &                      cpl_ready, cpl_finalize, cpl_out, cpl_in
   implicit none
   integer :: icomm, irank, isize, ierr, ia, ib, ic, id, kt, nit000, nlast, jj, iout
   real    :: a(6,4), c(6,4), d(6,4)
   character(len=8) :: cl

   call get_command_argument(1, cl)
   read(cl, *) nit000
   call get_command_argument(2, cl)
   read(cl, *) nlast
   call cpl_init('messages', icomm)
   call MPI_Comm_rank(icomm, irank, ierr)
   call MPI_Comm_size(icomm, isize, ierr)
   jj = 4 / isize
   call cpl_domain(6, 4, 0, irank*jj, 6, jj, 'closed')
   call cpl_var(ia, 'a', 'K', 'T', 1, cpl_out)
   call cpl_var(ib, 'b', 'K', 'T', 1, cpl_out)
   call cpl_var(ic, 'c', 'K', 'T', 1, cpl_in)
   call cpl_var(id, 'd', 'K', 'T', 1, cpl_in)
   call cpl_define(3600., nit000, 9, 20000101, '360_day')
   if (irank == isize - 1) open(newunit=iout, file='model.txt', action='write')
   if (cpl_status(ic) /= 3) stop 'messages: a status before the first delivery'
   do kt = nit000, nlast
      if (any(kt == [2, 5, 6])) call cpl_restart(kt)
      a = real(kt)
      call cpl_snd(ia, kt, a(:,1:jj))
      call cpl_snd(ib, kt, a(:,1:jj))
      if (.not. cpl_ready(id, kt)) stop 'messages: a field that nobody couples is waited for'
      if (mod(kt - 1, 3) /= 0 .and. kt /= nit000) then
         if (.not. cpl_ready(ic, kt)) stop 'messages: a field is waited for between two exchanges'
      end if
      call cpl_rcv(ic, kt, c(:,1:jj))
      call cpl_rcv(id, kt, d(:,1:jj))
      if (maxval(abs(c(:,1:jj) - c(1,1))) > 0.) stop 'messages: not all of the field was delivered'
      if (irank == isize - 1) write(iout, '(a,i0,a,i0,a,i0,a,i0)') 'step ', kt, ' uses ', nint(c(1,1)), ' of status ', &
         &   cpl_status(ic), ', not coupled ', cpl_status(id)
   end do
   call cpl_finalize()
   call MPI_Finalize(ierr)
end program messages
